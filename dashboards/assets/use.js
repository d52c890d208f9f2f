// Stands before every component's own module: other modules, as one object of all that they export.
const use = async ({ assets }, ...names) =>
  Object.assign({}, ...(await Promise.all(names.map((name) => import(new URL(`${assets}/${name}.js`, document.baseURI).href)))))

