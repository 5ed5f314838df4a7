package rpc

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func read(t *testing.T, body string) (request, []byte, error) {
	t.Helper()
	dir := t.TempDir()
	req, err := readRequest(strings.NewReader(body), 1<<20, Uploads{Dir: dir})
	files, _ := os.ReadDir(dir)
	if req.upload == nil {
		if len(files) > 0 {
			t.Errorf("%d files are left", len(files))
		}
		return req, nil, err
	}
	if len(files) != 1 {
		t.Fatalf("%d files, want the upload", len(files))
	}
	content, readErr := os.ReadFile(dir + "/" + files[0].Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	return req, content, err
}

func TestTheArchiveIsTakenOutOfTheRequest(t *testing.T) {
	content := strings.Repeat("\xff\xfe\xfd archive ", 20_000)
	b64 := base64.StdEncoding.EncodeToString([]byte(content))
	for name, body := range map[string]string{
		"plain":         `{"jsonrpc":"2.0","method":"cli","params":{"cli_args":["deploy","--app","x"],"extra_args":{"repository":"` + b64 + `","streaming":true}},"id":3}`,
		"before":        `{"params":{"extra_args":{"streaming":true,"repository" :` + "\n" + `"` + b64 + `"},"cli_args":["deploy","--app","x"]},"id":3,"method":"cli"}`,
		"slash escaped": `{"method":"cli","params":{"cli_args":["deploy","--app","x"],"extra_args":{"streaming":true,"repository":"` + strings.ReplaceAll(b64, "/", `\/`) + `"}},"id":3}`,
	} {
		t.Run(name, func(t *testing.T) {
			req, got, err := read(t, body)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != content {
				t.Errorf("%d bytes came out, want %d", len(got), len(content))
			}
			if strings.Join(req.Params.Args, " ") != "deploy --app x" || !req.Params.Extra.Streaming || string(req.ID) != "3" {
				t.Errorf("the rest is %+v", req.Request)
			}
		})
	}
}

func TestWhatOnlyLooksLikeAnArchiveStays(t *testing.T) {
	for _, body := range []string{
		`{"method":"cli","params":{"cli_args":["repository","\\","a\"b:"],"extra_args":{"env_vars":{"repository":"x"}}},"id":1}`,
		`{"method":"cli","repository":"x","params":{"cli_args":["repository","\\","a\"b:"],"repository":"y"},"id":1}`,
		`{"method":"cli","params":{"cli_args":["repository","\\","a\"b:"],"extra_args":{"repository":null}},"id":1}`,
	} {
		req, got, err := read(t, body)
		if err != nil || got != nil {
			t.Errorf("%s: %v, %q", body, err, got)
		}
		if strings.Join(req.Params.Args, "|") != `repository|\|a"b:` {
			t.Errorf("%s: %q", body, req.Params.Args)
		}
	}
}

func TestBrokenArchivesAreRefused(t *testing.T) {
	for body, code := range map[string]hop3.Code{
		`{"method":"cli","params":{"extra_args":{"repository":"####"}}}`:                     codeBadRequest,
		`{"method":"cli","params":{"extra_args":{"repository":"QUJ"}}}`:                      codeBadRequest,
		`{"method":"cli","params":{"extra_args":{"repository":"QUJD","repository":"QUJD"}}}`: codeBadRequest,
		`{"method":"cli","params":{"extra_args":{"repository":"QUJD`:                         codeParse,
		`{"method":"cli","params":{"extra_args":{"repository":"QUJD"}`:                       codeParse,
	} {
		if _, got, err := read(t, body); hop3.CodeOf(err) != code || got != nil {
			t.Errorf("%s: %v (%s), want %s", body, err, hop3.CodeOf(err), code)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(`{"method":"cli","params":{"cli_args":["a"],"extra_args":{"repository":"QUJD"}},"id":1}`)
	f.Add(`{"method":"cli","params":{"cli_args":["\\\"","repository"],"extra_args":{}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		req, err := readRequest(strings.NewReader(body), 1<<20, Uploads{Dir: t.TempDir()})
		if err == nil && req.upload != nil {
			if err := req.upload.Close(); err != nil {
				t.Error(err)
			}
		}
		if err == nil && !json.Valid([]byte(body)) {
			t.Errorf("taken though it is no JSON: %q", body)
		}
	})
}
