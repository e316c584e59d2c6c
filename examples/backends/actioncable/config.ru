# A chat on ActionCable without the rest of Rails, where a controller would speak for it:
# POST /say?text=… has a line broadcast, POST /ban has everybody thrown out for good.
require "action_cable"

class Connection < ActionCable::Connection::Base
  identified_by :user

  def connect
    self.user = request.params["user"] || reject_unauthorized_connection
  end
end

class RoomChannel < ActionCable::Channel::Base
  def subscribed
    return reject if connection.user == "stranger"
    stream_from "room"
  end

  def speak(data)
    ActionCable.server.broadcast("room", { from: connection.user, text: data["text"] })
  end
end

config = ActionCable.server.config
config.cable = { "adapter" => "async" }
config.connection_class = -> { Connection }
config.logger = Logger.new($stdout)
config.disable_request_forgery_protection = true # a bot sends no Origin

map("/cable") { run ActionCable.server }
map("/say") do
  run ->(env) do
    ActionCable.server.broadcast("room", { from: "server", text: Rack::Request.new(env).params["text"] })
    [204, {}, []]
  end
end
map("/ban") do
  run ->(_) do
    ActionCable.server.connections.each { |c| c.close(reason: "banned", reconnect: false) }
    [204, {}, []]
  end
end
