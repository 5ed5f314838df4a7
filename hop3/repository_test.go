package hop3_test

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestValidateRepoURL(t *testing.T) {
	for _, good := range []string{
		"https://github.com/abilian/hop3.git", "http://127.0.0.1:8080/x", "git://example.com/a/b", "ssh://git@example.com:22/a.git",
		"git@github.com:abilian/hop3.git", "https://user:pass@example.com/x.git", "https://[2001:db8::1]/x",
	} {
		if err := hop3.ValidateRepoURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "-uhttps://x/y", "--upload-pack=touch /tmp/x", "ext::sh -c id", "ext::id", "file:///etc", "/etc/passwd", "../x", "x.git",
		"https://example.com", "https:///x", "https://-x/y", "ftp://example.com/x", "https://example.com/a b", "https://example.com/a\nb",
		"https://example.com/x?a=b", "https://example.com/x#f", "host:path", "fd::3", "https::https://x/y", "https://example.com/\\x",
		"-oProxyCommand=x@h:p", strings.Repeat("h", 3000),
	} {
		if err := hop3.ValidateRepoURL(bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
	if err := hop3.ValidateRepoURL("https://u:secret@example.com/a b"); strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells the password: %v", err)
	}
}

func TestRepoURLParts(t *testing.T) {
	for address, want := range map[string][2]string{
		"https://u:p@example.com/team/app.git": {"https://example.com/team/app.git", "app"},
		"https://example.com/app/":             {"https://example.com/app/", "app"},
		"git@example.com:team/app.git":         {"git@example.com:team/app.git", "app"},
		"git@example.com:app":                  {"git@example.com:app", "app"},
		"https://a@b@c/d":                      {"https://c/d", "d"},
	} {
		if got := [2]string{hop3.RedactRepoURL(address), hop3.AppNameOf(address)}; got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
