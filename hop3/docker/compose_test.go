package docker

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestCheckCompose(t *testing.T) {
	for _, c := range []struct{ name, text, unused, err string }{
		{"compose.yml", "services:\n  web: {build: .}\n", "compose.yml", ""},
		{"docker-compose.yaml", "services: {web: {}, db: {image: x}}", "", "docker-compose.yaml has several services (db, web)"},
		{"compose.yaml", "services: [", "", "compose.yaml cannot be read: yaml:"},
		{"compose.yaml", "services: 3", "", "cannot be read"},
		{"other.yaml", "services: {a: {}, b: {}}", "", ""},
	} {
		unused, err := checkCompose(fstest.MapFS{c.name: {Data: []byte(c.text)}})
		if unused != c.unused || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %q: %q, %v; want %q, %q", c.name, c.text, unused, err, c.unused, c.err)
		}
	}
}
