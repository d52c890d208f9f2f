"""The commands of ``peacewatch``, one function each, grouped by what they work on.

A command parses, calls one function of the library and shows what it returned;
it decides nothing. Whatever takes long to import is imported inside it, so that
``peacewatch --help`` stays instant.
"""
