package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// followed is a server whose command is followed: it tells how far it is.
func followedServer(t *testing.T, asked *bool) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":[{"t":"stream","stream_id":"one"}]}`)
			return
		}
		*asked = r.URL.Query().Get("progress") == "1"
		fmt.Fprint(w, "event: log\nid: 0\ndata: {\"msg\":\"begun\",\"level\":1}\n\n")
		if *asked {
			fmt.Fprint(w, "event: progress\ndata: {\"what\":\"Checking \\u001b[31m\",\"done\":512,\"total\":1024}\n\n")
			fmt.Fprint(w, "event: progress\ndata: {\"what\":\"Copying\",\"done\":2048,\"total\":0}\n\n")
		}
		fmt.Fprint(w, "event: log\nid: 1\ndata: {\"msg\":\"copied\",\"level\":1}\n\nevent: complete\nid: 2\ndata: {\"success\":true}\n\n")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A backup shows a bar at a terminal, and the lines that stay.
func TestProgressBarOfABackup(t *testing.T) {
	asked := false
	env := map[string]string{"HOP3_API_URL": followedServer(t, &asked), "HOP3_API_TOKEN": "t", "HOP3_CONFIG_DIR": t.TempDir(), "NO_COLOR": "1"}
	getenv := func(k string) string { return env[k] }
	w := watch(t, 24, 100)
	p := &program{Stdio: Stdio{In: w.tty, Out: w.tty, Err: w.tty}, getenv: getenv, dir: t.TempDir()}
	if code := p.main(t.Context(), []string{"backup", "verify", "x"}); code != 0 || !asked {
		t.Errorf("exit status %d, asked for progress: %t", code, asked)
	}
	w.sees("copied")
	text := w.text()
	for _, want := range []string{"\r\x1b[KChecking [31m 512 bytes of 1.0 KB [###############...............] 50%\r\x1b[KCopying 2.0 KB\r\x1b[Kcopied"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}

	var out, talk bytes.Buffer
	p = &program{Stdio: Stdio{In: strings.NewReader(""), Out: &out, Err: &talk}, getenv: getenv, dir: t.TempDir()}
	if code := p.main(t.Context(), []string{"backup", "verify", "x"}); code != 0 || asked || out.String() != "begun\ncopied\n" || talk.Len() > 0 {
		t.Errorf("off a terminal: exit status %d, asked for progress: %t, %q, %q", code, asked, &out, &talk)
	}
}
