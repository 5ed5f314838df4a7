// A sample app: Express, a WebSocket echo at /ws and a slow download at /slow.
const http = require("node:http");
const express = require("express");
const { WebSocketServer } = require("ws");

const app = express();
const release = process.env.RELEASE || "-";

app.get("/", (req, res) => res.type("text").send(`Hello from express, release ${release}\n`));
app.get("/health", (req, res) => res.type("text").send("ok\n"));

// /slow?ms=3000 sends one chunk every 100 ms for three seconds.
app.get("/slow", (req, res) => {
  const chunks = Math.max(1, Math.ceil(Number(req.query.ms || 1000) / 100));
  let sent = 0;
  res.type("text");
  const timer = setInterval(() => {
    res.write(`${release} chunk ${++sent} of ${chunks}\n`);
    if (sent === chunks) {
      clearInterval(timer);
      res.end();
    }
  }, 100);
  res.on("close", () => clearInterval(timer));
});

const server = http.createServer(app);
const sockets = new WebSocketServer({ server, path: "/ws" });
sockets.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
  socket.on("error", () => socket.terminate());
});

server.listen(Number(process.env.PORT || 5000), "127.0.0.1");

// What is under way ends by itself; nothing new is taken.
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  for (const socket of sockets.clients) {
    socket.close(1001);
  }
});
