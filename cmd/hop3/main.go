// Command hop3 is all of Hop3 in one program: the server, which is a custom
// build of Caddy, and the command line.
package main

import (
	"os"

	"github.com/abilian/hop3/cmd/hop3cmd"
)

func main() {
	os.Exit(hop3cmd.Main(os.Args))
}
