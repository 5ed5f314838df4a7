package hop3_test

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestPreviewName(t *testing.T) {
	long := strings.Repeat("x", 40)
	for branch, want := range map[string]string{
		"feature":    "feature--blog",
		"fix-12":     "fix-12--blog",
		"7":          "7--blog",
		"Feature":    "feature-",
		"feature/x":  "feature-x-",
		"a--b":       "a-b-",
		"-a":         "a-",
		"a-":         "a-",
		"xn":         "xn-",
		"été":        "t-",
		"日本":         "",
		"a.b_c":      "a-b-c-",
		long + long:  long[:1],
		long + "yyy": long[:1],
	} {
		got, err := hop3.PreviewName("blog", branch)
		if err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "--blog") {
			t.Errorf("%q is served as %q, %v; want %q…", branch, got, err, want)
		}
		if strings.Count(got, "--") != 1 || hop3.ValidateAppName(got) != nil || hop3.ValidateHost(got+".example.com") != nil || len(got) > 63 {
			t.Errorf("%q is no name for %q", got, branch)
		}
	}
	if _, err := hop3.PreviewName(strings.Repeat("a", 41), "b"); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

// No two branches, also of two apps, share a name.
func FuzzPreviewName(f *testing.F) {
	f.Add("blog", "a", "blog", "A")
	f.Add("blog", "a/b", "blog", "a-b")
	f.Add("a-b", "c", "b", "c--a")
	f.Fuzz(func(t *testing.T, app1, branch1, app2, branch2 string) {
		for _, app := range []string{app1, app2} {
			if hop3.ValidateAppName(app) != nil || hop3.ReservedAppName(app) {
				return
			}
		}
		one, err1 := hop3.PreviewName(app1, branch1)
		two, err2 := hop3.PreviewName(app2, branch2)
		if err1 != nil || err2 != nil {
			return
		}
		same := hop3.HostLabel(app1) == hop3.HostLabel(app2) && branch1 == branch2
		if (one == two) != same {
			t.Errorf("%q of %q is %q, %q of %q is %q", branch1, app1, one, branch2, app2, two)
		}
		if err := hop3.ValidateAppName(one); err != nil {
			t.Error(err)
		}
	})
}
