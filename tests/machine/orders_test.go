package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// agentPort is where the agent listens in the machine.
const agentPort = 9

// order and result are what the agent takes and returns.
type order struct {
	Args []string `json:"args"`
}

type result struct {
	Status int    `json:"status"`
	Output string `json:"output"`
}

// try runs a command in the machine, as root. The error is for orders that did
// not get through.
func (m *machine) try(args ...string) (output string, status int, err error) {
	body, err := json.Marshal(order{Args: args})
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := m.askAgent(ctx, http.MethodPost, "/run", bytes.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	var r result
	err = json.Unmarshal(answer, &r)
	return r.Output, r.Status, err
}

// run is try for commands that must end well.
func (m *machine) run(t *testing.T, args ...string) (output string) {
	t.Helper()
	output, status, err := m.try(args...)
	if err != nil || status != 0 {
		t.Fatalf("%s: status %d, %v\n%s", strings.Join(args, " "), status, err, output)
	}
	return output
}

// value is run for commands that print one line.
func (m *machine) value(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, args...))
}

// put writes a file in the machine.
func (m *machine) put(t *testing.T, path string, mode os.FileMode, content io.Reader) {
	t.Helper()
	query := url.Values{"path": {path}, "mode": {fmt.Sprintf("%o", mode)}}
	if _, err := m.askAgent(t.Context(), http.MethodPut, "/file?"+query.Encode(), content); err != nil {
		t.Fatalf("writing %s: %v", path, err)
	}
}

// copyIn is put of a file of this computer's.
func (m *machine) copyIn(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.put(t, to, mode, f)
}

func (m *machine) askAgent(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", m.ports.agent, path), body)
	if err != nil {
		return nil, err
	}
	req.Close = true // the machine that answers next may have been rebooted
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, answer)
	}
	return answer, err
}
