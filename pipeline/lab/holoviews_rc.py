"""Run by HoloViews as a kernel imports it: charts bring their scripts along, as a network may lead nowhere."""

import holoviews as hv

hv.extension.inline = True
