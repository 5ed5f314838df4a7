// Command hop3-cli is the client alone: small, without cgo, for the machines
// of developers. The program hop3 has the same commands and the server too.
package main

import (
	"os"

	"github.com/abilian/hop3/hop3/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, nil))
}
