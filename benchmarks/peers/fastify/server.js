// One worker for each core, as Node's documentation of `cluster` shows it.
const cluster = require('node:cluster')
const os = require('node:os')

const workers = Number(process.env.WORKERS) || os.availableParallelism()

if (cluster.isPrimary) {
  for (let number = 0; number < workers; number++) cluster.fork()
  cluster.on('exit', (worker) => {
    if (!worker.exitedAfterDisconnect) process.exit(1) // a benchmark must not go on with fewer
  })
  process.on('SIGTERM', () => {
    cluster.disconnect(() => process.exit(0))
  })
} else {
  require('./app').start(Number(process.env.PORT))
}
