package hop3test

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"
)

// traefikPatience is how long a test waits for tests/run to have built Traefik.
const traefikPatience = 18 * time.Minute

// TraefikBinary returns where Traefik is for tests, "" where nobody has said so
// by TRAEFIK_BIN: it takes too long to build to do so for every run. It waits
// for one that is being built.
func TraefikBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("TRAEFIK_BIN")
	if path == "" {
		t.Log("without Traefik: HOP3_TEST_TRAEFIK=1 tests/run builds it, and tests with it")
		return ""
	}
	deadline := time.Now().Add(traefikPatience)
	for {
		if _, err := os.Stat(path); err == nil {
			return path
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if why, err := os.ReadFile(path + ".failed"); err == nil {
			t.Fatalf("Traefik could not be built:\n%s", why)
		}
		if time.Now().After(deadline) {
			t.Fatalf("Traefik was not built within %s", traefikPatience)
		}
		time.Sleep(time.Second) // between two looks
	}
}
