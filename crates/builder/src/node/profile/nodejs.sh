# Sourced at the start of every dyno: the app's Node.js, and the programs of its packages.
export PATH="${HOME}/.heroku/node/bin:${PATH}:${HOME}/bin:${HOME}/node_modules/.bin"
export NODE_HOME="${HOME}/.heroku/node"
export NODE_ENV="${NODE_ENV:-production}"
