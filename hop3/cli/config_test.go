package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is not there is said before any server is asked.
func TestConfigWithoutFiles(t *testing.T) {
	p := newProgram(t, map[string]string{})
	if err := configCheck(t.Context(), p, []string{"none"}); err == nil || !strings.Contains(err.Error(), "There is no file or directory") {
		t.Errorf("got %v", err)
	}
	if err := configMigrate(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "There is no file "+filepath.Join(p.dir, "Procfile")) {
		t.Errorf("got %v", err)
	}
	write(t, filepath.Join(p.dir, "hop3"), "a program")
	if err := configCheck(t.Context(), p, nil); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	if err := configCheck(t.Context(), p, []string{".", "x"}); err == nil || !strings.Contains(err.Error(), "Unrecognized argument(s): 'x'") {
		t.Errorf("got %v", err)
	}
}

func TestReadConfigIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "hop3.toml")
	if err := os.WriteFile(name, make([]byte, maxConfigFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readConfig(name); err != nil || len(text) != maxConfigFile {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
