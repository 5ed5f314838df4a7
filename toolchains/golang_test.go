package toolchains_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestGo(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Go), "../tests/apps/gin", "Hello from gin, release 1")
}
