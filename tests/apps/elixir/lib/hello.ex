defmodule Hello do
  @moduledoc "A sample app: HTTP with what Erlang has itself."
  use Application

  @impl true
  def start(_type, _args) do
    {:ok, address} =
      System.get_env("BIND_ADDRESS", "127.0.0.1") |> String.to_charlist() |> :inet.parse_address()

    port = System.get_env("PORT", "5000") |> String.to_integer()

    {:ok, socket} =
      :gen_tcp.listen(port, [:binary, ip: address, packet: :http_bin, active: false, reuseaddr: true])

    children = [{Task.Supervisor, name: Hello.Requests}, {Task, fn -> accept(socket) end}]
    Supervisor.start_link(children, strategy: :one_for_one)
  end

  defp accept(socket) do
    {:ok, client} = :gen_tcp.accept(socket)
    {:ok, pid} = Task.Supervisor.start_child(Hello.Requests, fn -> answer(client) end)
    :gen_tcp.controlling_process(client, pid)
    accept(socket)
  end

  defp answer(client) do
    case :gen_tcp.recv(client, 0, 5000) do
      {:ok, :http_eoh} ->
        text = "Hello from elixir, release #{System.get_env("RELEASE", "-")}\n"

        :gen_tcp.send(client, [
          "HTTP/1.1 200 OK\r\nContent-Length: #{byte_size(text)}\r\nConnection: close\r\n\r\n",
          text
        ])

        :gen_tcp.close(client)

      {:ok, _} ->
        answer(client)

      {:error, _} ->
        :gen_tcp.close(client)
    end
  end
end
