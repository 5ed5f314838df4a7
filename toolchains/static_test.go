package toolchains_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestStatic(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Static), "../tests/apps/static", "Hello from static")
}
