"""How this Django project is put together: settings, addresses, the ASGI application."""
