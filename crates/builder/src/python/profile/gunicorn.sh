# Sourced at the start of every dyno: gunicorn trusts the router's headers and logs requests to the standard output.
export FORWARDED_ALLOW_IPS='*'
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS:---access-logfile -}"
