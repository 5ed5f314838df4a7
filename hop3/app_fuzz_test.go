package hop3_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

var harmless = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// FuzzAppName: a name becomes a directory, a host, a section and a word of a
// command line, without a quote anywhere.
func FuzzAppName(f *testing.F) {
	for _, name := range []string{"blog", "..", "-x", "a;b", "a\nb", "abc\n", "a\x00b", "ünï", "a_b-c", strings.Repeat("x", 64), "abc-", "\u202eabc"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := hop3.ValidateAppName(name); err != nil {
			if hop3.CodeOf(err) != hop3.CodeInvalid || strings.ContainsAny(err.Error(), "\x00\x1b\r") {
				t.Errorf("the error is %q", err)
			}
			return
		}
		if !harmless.MatchString(name) || strings.HasPrefix(name, "-") || len(name) > 63 || filepath.Join("/apps", name) != "/apps/"+name {
			t.Errorf("%q is an app's name", name)
		}
		if err := hop3.ValidateHost(hop3.HostLabel(name) + ".example.com"); err != nil {
			t.Errorf("%q has no host: %v", name, err)
		}
	})
}
