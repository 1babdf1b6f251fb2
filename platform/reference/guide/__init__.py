"""The documentation as a site: Markdown of docs/ and scripts as pages, their order, the search."""
