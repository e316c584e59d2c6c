// A Satori server: @satorijs/server with one login. Lines of standard input: "say TEXT", which
// is an event, and "close CODE", which ends all connections. It prints what clients send.
const { Bot, Context } = require('@satorijs/satori')
const Router = require('@satorijs/router').default
const server = require('@satorijs/server')
const readline = require('node:readline')

const ctx = new Context()
ctx.provide('router')
ctx.router = new Router(ctx, { host: '127.0.0.1', port: Number(process.env.PORT) })
ctx.plugin(server, { token: 'secret', path: '/satori', websocket: { resumeTimeout: 60000 }, webhooks: [] })

class Login extends Bot {
  constructor(ctx, config) {
    super(ctx, config)
    this.platform = 'test'
    this.selfId = 'bot'
    this.user = { id: 'bot', name: 'bot' }
  }
}
const bot = new Login(ctx, {})
bot.online()

ctx.router._ws.on('connection', (socket) => {
  console.log('connected')
  socket.on('message', (data) => console.log('received ' + data))
})
ctx.router._http.on('listening', () => console.log('listening'))

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, ...rest] = line.split(' ')
  if (verb === 'say') {
    const session = bot.session({
      type: 'message-created',
      channel: { id: 'room', type: 0 },
      user: { id: 'alice', name: 'Alice' },
      message: { id: String(Date.now()), content: rest.join(' ') },
      timestamp: Date.now(),
    })
    bot.dispatch(session)
  }
  if (verb === 'close') for (const socket of ctx.router._ws.clients) socket.close(Number(rest[0]), 'closed by the test')
})
ctx.start().catch(console.error)
