package certs

import (
	"testing"
)

// A certificate that another server got is used, renewed when it is time, and
// gives way to nothing that is no better.
func TestAnImportedCertificateIsUsed(t *testing.T) {
	authority := &ownAuthority{root: issue(t, nil, nil)}
	from, storage := ownKeeper(t, t.TempDir(), authority, "www.example.org"), t.TempDir()
	if err := from.Obtain(t.Context(), "www.example.org", false); err != nil {
		t.Fatal(err)
	}
	chain, key, err := from.PEM(t.Context(), "www.example.org")
	if err != nil {
		t.Fatal(err)
	}
	to := ownKeeper(t, storage, authority, "www.example.org", "other.example.org")
	for _, host := range []string{"www.example.org", "other.example.org", "nobody.example.org"} {
		if err := to.Import(t.Context(), host, chain, key); err != nil {
			t.Error(host, err)
		}
	}
	if err := to.Import(t.Context(), "www.example.org", chain, chain); err == nil {
		t.Error("a certificate is imported without its key")
	}
	got, _, err := to.PEM(t.Context(), "www.example.org")
	if err != nil || string(got) != string(chain) {
		t.Errorf("it has another one: %v", err)
	}
	if _, _, err := to.PEM(t.Context(), "other.example.org"); err == nil {
		t.Error("it is another host's, too")
	}
	if cert := to.shown(t, "www.example.org"); cert == nil || cert.Leaf.VerifyHostname("www.example.org") != nil {
		t.Error("it is not shown")
	}
	if n := authority.issues.Load(); n != 1 {
		t.Errorf("the authority was asked %d times", n)
	}
	if err := to.Obtain(t.Context(), "www.example.org", true); err != nil || authority.issues.Load() != 2 {
		t.Errorf("it is not renewed: %v", err)
	}
	if err := to.Import(t.Context(), "www.example.org", chain, key); err != nil {
		t.Fatal(err)
	}
	if again, _, err := to.PEM(t.Context(), "www.example.org"); err != nil || string(again) == string(chain) {
		t.Errorf("the older one is back: %v", err)
	}
}
