// Builds the page that the Python side serves.
const fs = require("node:fs");
const escape = require("escape-html");

fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/page.html", `<p>${escape("Hello from python & node")}</p>\n`);
