package traefik

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesAreInEffectEverywhere asks an API that knows of new files. The real
// one's other ports are behind it by microseconds, and only sometimes: so this
// one is ours.
func TestFilesAreInEffectEverywhere(t *testing.T) {
	names := []string{generationPrefix + "old@file"}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := []map[string]string{}
		for _, name := range names {
			if strings.HasPrefix(r.URL.Path, "/api/http/middlewares") && strings.Contains(name, r.URL.Query().Get("search")) {
				found = append(found, map[string]string{"name": name})
			}
		}
		_ = json.NewEncoder(w).Encode(found) // to a client of this process
	}))
	defer api.Close()
	p := place()
	p.Dir, p.Status = t.TempDir(), strings.TrimPrefix(api.URL, "http://")
	file := filepath.Join(p.Dir, settledFile)
	wants := func(generation string, told bool) {
		t.Helper()
		got, err := new(Traefik).Generation(t.Context(), p)
		text, _ := os.ReadFile(file) // compared below
		if err != nil || got != generation || strings.Contains(string(text), settledPrefix+p.Generation) != told {
			t.Errorf("with %v the files in effect are %q, %v; it was told %q", names, got, err, text)
		}
	}
	wants("old", false)
	names = []string{generationPrefix + p.Generation + "@file"}
	wants("", true)
	names = append(names, settledPrefix+"old@file")
	wants("", true)
	names[1] = settledPrefix + p.Generation + "@file"
	wants(p.Generation, true)
}
