// Package toolchains holds the languages Hop3 builds itself. Each is a Caddy
// module in the namespace hop3.toolchains, in files named after it: to add one,
// add its file, and its place in the local builder's order.
package toolchains
