package toolchains_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestGeneric(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Generic), "../tests/apps/generic", "Hello from generic, release 1")
}
