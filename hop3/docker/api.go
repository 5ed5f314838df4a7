package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// api is the engine's HTTP API, of whichever version it has:
// https://docs.docker.com/reference/api/engine/.
type api struct{ client *http.Client }

func newAPI(socket string) *api {
	return &api{client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true, // the engine may be started anew between two requests
	}}}
}

// refusal is what the engine answers when it does not do what it is asked.
type refusal struct {
	status  int
	Message string `json:"message"`
}

func (r *refusal) Error() string { return r.Message }

// refused reports whether err is an answer of this status.
func refused(err error, status int) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == status
}

func (a *api) get(ctx context.Context, path string, query url.Values, into any) error {
	return a.do(ctx, http.MethodGet, path, query, nil, into)
}

func (a *api) post(ctx context.Context, path string, query url.Values, body, into any) error {
	return a.do(ctx, http.MethodPost, path, query, body, into)
}

func (a *api) delete(ctx context.Context, path string, query url.Values) error {
	return a.do(ctx, http.MethodDelete, path, query, nil, nil)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// do makes one request. Without into the answer's body is not looked at.
func (a *api) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	u := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.client.Do(req)
	if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w: %w", hop3.ErrEngineAway, dial)
	}
	if err != nil {
		return fmt.Errorf("asking the Docker engine: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the Docker engine's answer: %w", err)
	}
	if res.StatusCode >= 300 && res.StatusCode != http.StatusNotModified {
		r := &refusal{status: res.StatusCode}
		if json.Unmarshal(answer, r) != nil || r.Message == "" {
			r.Message = strings.TrimSpace(res.Status + " " + string(answer[:min(len(answer), 200)]))
		}
		return r
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
