require "sinatra/base"

class Hello < Sinatra::Base
  get "/" do
    "Hello from sinatra, release #{ENV["RELEASE"]}\n"
  end
end

run Hello
