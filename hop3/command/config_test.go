package command

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/archive"
)

// upload is files as a client sends them.
func upload(t *testing.T, files map[string]string) *archive.Archive {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	out := tar.NewWriter(zipped)
	for name, text := range files {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := archive.FromReader(&b, t.TempDir(), archive.Standard)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func config(t *testing.T, files map[string]string, words ...string) ([]api.Item, error) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	c := newCommands(t)
	c.server.Platform.Builders = func() []hop3.Builder { return nil }
	r := Request{Args: append([]string{"config"}, words...), User: &hop3.User{Username: "ada"}}
	if files != nil {
		r.Extra.Upload = upload(t, files)
	}
	items, err := c.Run(t.Context(), r)
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
	return items, err
}

func TestConfigCheck(t *testing.T) {
	items, err := config(t, map[string]string{"hop3.toml": "[scaling.web]\nmin = 2\nmax = 4\n[[ports]]\nnumber = 2525\n[static]\n\"/a\" = \"b\"\n", "Procfile": "web: serve\nrelease: migrate\n"}, "check")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(items)
	for _, want := range []string{`"OK"`, `["before the start","once","migrate"]`, `["web","2 to 4","serve"]`, "Port 2525/tcp of the host is in $PORT_2525, for any.", "/a is served from b."} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	items, err = config(t, map[string]string{"hop3.toml": "[run]\nx = 1\n", "Procfile": "web\n"}, "check")
	if err != nil || len(items) != 1 || items[0].T != api.KindError || !strings.Contains(items[0].Text, "run -> x (line 2)") || !strings.Contains(items[0].Text, "line 1: expected") {
		t.Errorf("got %+v, %v", items, err)
	}
	items, err = config(t, map[string]string{"hop3.toml": "[build]\nbuilder = \"docker\"\n[env]\nTZ = \"Mars\"\n[[cron]]\nschedule = \"@daily\"\ncommand = \"x\"\n"}, "check")
	if err != nil || len(items) != 1 || !strings.Contains(items[0].Text, "the builder 'docker'") || !strings.Contains(items[0].Text, "Mars") {
		t.Errorf("got %+v, %v", items, err)
	}
	if items, err = config(t, nil, "check"); err != nil || len(items) != 1 || items[0].T != api.KindError {
		t.Errorf("without files: %+v, %v", items, err)
	}
}

func TestConfigMigrate(t *testing.T) {
	items, err := config(t, map[string]string{"Procfile": "web: x\n"}, "migrate", "procfile")
	if err != nil || len(items) != 1 || items[0].Data != base64.StdEncoding.EncodeToString([]byte("[run]\nstart = \"x\"\n")) {
		t.Errorf("got %+v, %v", items, err)
	}
	for _, files := range []map[string]string{nil, {"x": ""}, {"Procfile": "x"}} {
		if _, err := config(t, files, "migrate", "procfile"); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%v: %v", files, err)
		}
	}
}

func TestConfigSchema(t *testing.T) {
	items, err := config(t, nil, "schema")
	if err != nil || len(items) != 1 || !json.Valid([]byte(items[0].Text)) {
		t.Errorf("got %+v, %v", items, err)
	}
}
