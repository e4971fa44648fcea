# For people and tools that look for it; dynos have this Python in their PATH already.
export VIRTUAL_ENV="/app/.heroku/python"
export PATH="${VIRTUAL_ENV}/bin:${PATH}"
