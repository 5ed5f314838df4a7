package toolchains_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestNode(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Node), "../tests/apps/express", "Hello from express, release 1")
}
