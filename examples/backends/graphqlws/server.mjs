// A server of graphql-ws: a log of events in a file, a subscription that begins after any of
// them, a mutation that adds one. Lines of standard input: "add TEXT", "ping", and
// "close CODE", which ends all connections.
import fs from 'node:fs'
import readline from 'node:readline'
import { EventEmitter, on } from 'node:events'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const file = process.argv[2]
const events = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : []
const added = new EventEmitter()

function add(text) {
  if (text === '') throw new Error('an event needs a text')
  const event = { n: events.length + 1, text }
  events.push(event)
  fs.writeFileSync(file, JSON.stringify(events))
  added.emit('event')
  return event
}

const schema = buildSchema(`
  type Event { n: Int!, text: String! }
  type Query { count: Int! }
  type Mutation { add(text: String!): Event! }
  type Subscription { events(after: Int!): Event! }
`)
const roots = {
  query: { count: () => events.length },
  mutation: { add: ({ text }) => add(text) },
  subscription: {
    async *events({ after }) {
      const changes = on(added, 'event')
      for (let n = after; ; ) {
        for (; n < events.length; n++) yield { events: events[n] }
        await changes.next()
      }
    },
  },
}

const sockets = new WebSocketServer({
  host: '127.0.0.1',
  port: process.env.PORT,
  path: '/graphql',
})
useServer(
  {
    schema,
    roots,
    onConnect: ({ connectionParams }) => connectionParams?.token === 'secret', // false: 4403 Forbidden
    onSubscribe: (_, id, payload) => console.log('subscribe', id, JSON.stringify(payload.variables)),
  },
  sockets,
)
sockets.on('connection', (socket) =>
  socket.on('message', (data) => data.includes('"pong"') && console.log('pong')),
)
sockets.on('listening', () => console.log('listening'))

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, ...rest] = line.split(' ')
  if (verb === 'add') add(rest.join(' '))
  for (const socket of sockets.clients) {
    if (verb === 'ping') socket.send('{"type":"ping"}')
    if (verb === 'close') socket.close(Number(rest[0]), 'closed by the test')
  }
})
