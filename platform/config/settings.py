"""Django's settings. What changes between installations comes from the environment (config/env.py).

| variable | means | default |
|---|---|---|
| TINSMITH_DATA_DIR | embedded services, checkpoints, snapshots | `data` in the checkout |
| DATABASE_URL | PostgreSQL 15 or newer | the embedded server |
| VALKEY_URL | Valkey or Redis: doorbells and counters | the embedded server |
| TINSMITH_SECRET_KEY | signs sessions, tokens, download links | the data folder's `secret_key` |
| TINSMITH_ALLOWED_HOSTS | host names to answer to, `*` for any | this machine, the public URL's |
| TINSMITH_PUBLIC_URL | address users see; `https://…` makes cookies secure | none |
| TINSMITH_PROXIES | proxies of yours in front, whose word on the caller counts | 0 |
| TINSMITH_CORS_ORIGINS | web pages that may call the APIs: `https://host`, `*` for any | none |
| TINSMITH_MAX_BODY_MB | largest request body | 256 |
| TINSMITH_MAX_CONNECTIONS | open connections of the web process | 4096 |
| TINSMITH_MAX_OPEN_SAMPLES | sample requests that may wait or run at once | 50000 |
| TINSMITH_MAX_OPEN_SAMPLES_PER_TEAM | the same, of one team | 10000 |
| TINSMITH_RESULTS_KEPT_DAYS | after a session's end, for late questions | 7 |
| TINSMITH_GAP_CLOSES_AFTER_S | a request of a run is given up that later ones wait for | 600 |
| TINSMITH_LOG_LEVEL | of our own loggers | INFO |
| TINSMITH_POOL | the pool a worker serves | default |
| TINSMITH_DEVICE | where its engines compute: cpu, cuda | cpu |
| TINSMITH_DTYPE | of base models: auto, float32, bfloat16 | auto |
"""

from pathlib import Path

from config import env

BASE_DIR: Path = env.REPOSITORY
FRONTEND_DIR: Path = env.shipped("frontend")
DASHBOARD_DIR: Path = FRONTEND_DIR / "dist"
DOCS_DIR: Path = env.shipped("docs")
DATA_DIR: Path = env.data_folder()

# --- security ---------------------------------------------------------------------------------
DEBUG = env.flag("TINSMITH_DEBUG")
SECRET_KEY = env.secret_key(DATA_DIR)
PUBLIC_URL = env.text("TINSMITH_PUBLIC_URL").rstrip("/")
ALLOWED_HOSTS = env.words("TINSMITH_ALLOWED_HOSTS") or env.own_hosts(PUBLIC_URL)
CORS_ORIGINS = env.origins("TINSMITH_CORS_ORIGINS")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
MAX_BODY_BYTES = env.number("TINSMITH_MAX_BODY_MB", 256) * 1024 * 1024
PROXIES = env.number("TINSMITH_PROXIES", 0, least=0)
MAX_CONNECTIONS = env.number("TINSMITH_MAX_CONNECTIONS", 4096, least=1)
MAX_OPEN_SAMPLES = env.number("TINSMITH_MAX_OPEN_SAMPLES", 50_000)
MAX_OPEN_SAMPLES_PER_TEAM = env.number("TINSMITH_MAX_OPEN_SAMPLES_PER_TEAM", 10_000)
GAP_CLOSES_AFTER_S = env.number("TINSMITH_GAP_CLOSES_AFTER_S", 600, least=1)
RESULTS_KEPT_DAYS = env.number("TINSMITH_RESULTS_KEPT_DAYS", 7, least=0)
# bodies are bounded before Django sees them (core/bodies.py, core/pages.py) and stay in memory
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# --- apps -------------------------------------------------------------------------------------
OUR_APPS = [
    "core",
    "audit",
    "events",
    "accounts",
    "catalog",
    "usage",
    "captures",
    "runs",
    "operations",
    "checkpoints",
    "tinker_api",
    "openai_api",
    "live",
    "console_api",
    "reference",
]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    *OUR_APPS,
]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

# The wire protocol goes past all of these (config/asgi.py): under ASGI each costs a thread hop.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [FRONTEND_DIR],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- data -------------------------------------------------------------------------------------
DATABASE_URL = env.database_url(DATA_DIR)
VALKEY_URL = env.valkey_url(DATA_DIR)
CELERY_BROKER_URL = env.broker_url(VALKEY_URL)
_database = env.django_database(DATABASE_URL)
# A pool, and never CONN_MAX_AGE: under ASGI that leaks a connection a request thread.
_database["OPTIONS"] = {
    **_database["OPTIONS"],  # type: ignore[dict-item]
    "pool": {"min_size": 0, "max_size": 8, "timeout": 10, "max_idle": 120},
}
DATABASES = {"default": _database}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
WORKER_POOL = env.text("TINSMITH_POOL", "default")
ENGINE_DEVICE = env.text("TINSMITH_DEVICE", "cpu")
ENGINE_DTYPE = env.text("TINSMITH_DTYPE", "auto")

# --- text, time, files ------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = None
# Straight from the packages: no collectstatic step stands between a clone and a running server.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
# The dashboard's build, if there is one: its files bear the hash of what is in them.
_assets = DASHBOARD_DIR / "assets"
STATICFILES_DIRS = [("dashboard", _assets)] if _assets.is_dir() else []
WHITENOISE_IMMUTABLE_FILE_TEST = r"/static/dashboard/.+-[\w-]{8}\.\w+$"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "/admin/login/"
LOGIN_PAGE = "/sign-in"
CSRF_FAILURE_VIEW = "core.views.csrf_failure"

# --- the dashboard's API ----------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["console_api.rendering.FastJSON"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "console_api.base.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tinsmith's dashboard",
    "DESCRIPTION": "What the dashboard reads and writes, for people who are signed in.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/console",
    "POSTPROCESSING_HOOKS": ["console_api.schema.add_components"],
    "PREPROCESSING_HOOKS": [],
}

# --- logging ----------------------------------------------------------------------------------
_level = env.text("TINSMITH_LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "core.logs.OneLineFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        }
    },
    "filters": {"strangers": {"()": "core.logs.NoTracebacksOfStrangers"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "filters": ["strangers"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        **{name: {"level": _level} for name in [*OUR_APPS, "gpu_workers", "tinsmith"]},
        # its own handlers would write lines of another form, and one a request
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "uvicorn.error": {"level": "WARNING"},
        "uvicorn.access": {"handlers": [], "propagate": False},
    },
}
