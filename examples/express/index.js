'use strict'

const app = require('./app')

const server = app.listen(process.env.PORT ?? 5000, () => {
  console.log(`listening on ${server.address().port}`)
})

// A dyno is asked to stop with SIGTERM: take no more, finish what runs.
process.on('SIGTERM', () => {
  console.log('asked to stop')
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
