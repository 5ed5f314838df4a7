// A sample app whose packages yarn locks.
const http = require("node:http");
const escape = require("escape-html");

const page = escape(`Hello from yarn, release ${process.env.RELEASE || "-"}`) + "\n";
http.createServer((req, res) => res.end(page)).listen(Number(process.env.PORT), "127.0.0.1");
