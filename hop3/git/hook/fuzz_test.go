package hook_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/git/hook"
)

// FuzzRun has git tell the hook of any push, with any options: the hook says no
// or nothing, and never yes, where no server is.
func FuzzRun(f *testing.F) {
	zero := strings.Repeat("0", 40)
	f.Add(zero+" "+strings.Repeat("1", 40)+" refs/heads/main\n", "1", "ci.skip")
	f.Add("", "99999999999999999999", "a\x00b\nc")
	f.Add("x y z", "-1", "\x1b[31m")
	f.Fuzz(func(t *testing.T, stdin, count, option string) {
		var said bytes.Buffer
		err := hook.Run(strings.NewReader(stdin), &said, func(name string) string {
			switch name {
			case "GIT_PUSH_OPTION_COUNT":
				return count
			case hook.EnvSocket:
				return "/nonexistent/socket"
			}
			return option
		})
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\x00") {
			t.Errorf("it said %q, %v", said.String(), err)
		}
	})
}

// FuzzDecode reads what only a hook should write to the server's socket.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte("0000\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if request, err := hook.Decode(bytes.NewReader(message)); err == nil && request == nil {
			t.Error("neither a request nor an error")
		}
	})
}
