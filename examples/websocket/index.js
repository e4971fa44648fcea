'use strict'

const { createServer } = require('./server')

const server = createServer()
server.listen(process.env.PORT ?? 5000, () => console.log(`listening on ${server.address().port}`))
process.on('SIGTERM', () => server.stop())
