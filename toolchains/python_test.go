package toolchains_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestPython(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Python), "../tests/apps/flask", "Hello from flask, release 1")
}

func TestPython_UV(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Python), "../tests/apps/uv", "Hello from uv, release 1")
}
