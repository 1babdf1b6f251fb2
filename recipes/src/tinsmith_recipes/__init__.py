"""Training library and recipes for Tinsmith: plain Python on a laptop, the GPU work on the server.

``tinsmith recipes list`` shows the recipes, ``tinsmith recipes run NAME key=value …`` runs one;
``tinsmith_recipes.training`` is what they are built of.
"""
