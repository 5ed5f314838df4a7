// Package move reaches the servers that apps move to: while they move, and
// afterwards with the requests that still come here.
package move

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// Servers are the servers that apps move to. The zero value trusts the
// authorities that the system does. It is safe for concurrent use.
type Servers struct {
	// Transport makes the requests; nil is one of our own.
	Transport http.RoundTripper
}

// newTransport is for connections between servers: over the network, with
// bodies that take long.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil // what is told the other server is told nobody else
	t.MaxIdleConnsPerHost = 256
	t.MaxIdleConns = 1024
	// Shorter than the other side keeps connections open.
	t.IdleConnTimeout = 60 * time.Second
	t.DisableCompression = true
	return t
}

// Server is one of them, for one app.
type Server struct {
	address, app, secret string
	http                 http.Client
}

// answersWithin is how long an answer may take whose making takes no time.
const answersWithin = time.Minute

// Server returns a server by its address. See platform.OtherServers.
func (s *Servers) Server(address, app, secret string) (*Server, error) {
	if err := hop3.ValidateServerAddress(address); err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Moving an app takes what `hop3 app receive` says on the other server.")
	}
	transport := s.Transport
	if transport == nil {
		transport = newTransport()
	}
	return &Server{
		address: strings.TrimRight(address, "/"), app: app, secret: secret,
		http: http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (s *Server) request(ctx context.Context, method, rest string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.address+api.MovesPath+url.PathEscape(s.app)+rest, body)
	if err != nil {
		return nil, err
	}
	return s.do(req)
}

func (s *Server) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Authorization", "Bearer "+s.secret)
	req.Header.Set("User-Agent", "hop3")
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, s.unreachable(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var refused struct{ Error *api.Error }
	text, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxMoveOffer))
	if err == nil && json.Unmarshal(text, &refused) == nil && refused.Error != nil {
		return nil, errorOf(refused.Error)
	}
	return nil, hop3.Errorf(hop3.CodeUnavailable, "%s answered %s: is it a Hop3 server?", s.address, resp.Status)
}

func (s *Server) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return hop3.Errorf(hop3.CodeUnavailable, "%s cannot be reached from this server: %w", s.address, err)
}

// errorOf is an error as the other server had it.
func errorOf(wire *api.Error) error {
	code, hint := hop3.CodeInternal, ""
	if wire.Data != nil && wire.Data.Kind != "" {
		code, hint = hop3.Code(wire.Data.Kind), wire.Data.Hint
	}
	// The message has its hint in it.
	err := hop3.Errorf(code, "%s", strings.TrimSuffix(wire.Message, "\n"+hint))
	if hint != "" {
		err = err.WithHint("%s", hint)
	}
	return err
}

func (s *Server) answer(resp *http.Response, err error) (hop3.MoveAnswer, error) {
	var a hop3.MoveAnswer
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, api.MaxMoveOffer)).Decode(&a); err != nil {
		return a, hop3.Errorf(hop3.CodeUnavailable, "The answer of %s makes no sense: %w", s.address, err)
	}
	return a, nil
}

// Offer implements platform.OtherServer.
func (s *Server) Offer(ctx context.Context, o hop3.MoveOffer) (hop3.MoveAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	text, err := json.Marshal(o)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	return s.answer(s.request(ctx, http.MethodPost, "/offer", bytes.NewReader(text)))
}

// Status implements platform.OtherServer.
func (s *Server) Status(ctx context.Context) (hop3.MoveAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	return s.answer(s.request(ctx, http.MethodGet, "", nil))
}

// Abandon implements platform.OtherServer.
func (s *Server) Abandon(ctx context.Context) error {
	resp, err := s.request(ctx, http.MethodDelete, "", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// sendTries is how often a file is sent whose connection breaks.
const sendTries = 5

// Send implements platform.OtherServer.
func (s *Server) Send(ctx context.Context, id, name string, size int64, open func() (io.ReadCloser, error)) (err error) {
	for try := range sendTries {
		if err = s.send(ctx, id, name, size, open); err == nil || hop3.CodeOf(err) != hop3.CodeUnavailable || ctx.Err() != nil {
			return err
		}
		pause := time.NewTimer(time.Second << try)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
	return err
}

func (s *Server) send(ctx context.Context, id, name string, size int64, open func() (io.ReadCloser, error)) error {
	content, err := open()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.address+api.MovesPath+path.Join(url.PathEscape(s.app), "copies", id, name), content)
	if err != nil {
		return errors.Join(err, content.Close())
	}
	req.ContentLength = size
	if size == 0 {
		req.Body = http.NoBody
		defer content.Close()
	}
	resp, err := s.do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Prepare implements platform.OtherServer.
func (s *Server) Prepare(ctx context.Context, id string, out hop3.Output) (hop3.MoveAnswer, error) {
	return s.follow(ctx, id, "first", out)
}

// Finish implements platform.OtherServer.
func (s *Server) Finish(ctx context.Context, id string, out hop3.Output) (hop3.MoveAnswer, error) {
	return s.follow(ctx, id, "last", out)
}

// silence is how long nothing may come of what says every few seconds that it
// is alive.
const silence = 2 * time.Minute

// follow has the other server do what takes long, and passes on what it says.
func (s *Server) follow(ctx context.Context, id, which string, out hop3.Output) (hop3.MoveAnswer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("it said nothing for %s", silence)) })
	defer quiet.Stop()
	resp, err := s.request(ctx, http.MethodPost, "/copies/"+id+"/"+which, nil)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, api.MaxMoveOffer)
	for lines.Scan() {
		quiet.Reset(silence)
		var e api.MoveEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return hop3.MoveAnswer{}, hop3.Errorf(hop3.CodeUnavailable, "The answer of %s makes no sense: %w", s.address, err)
		}
		switch {
		case e.Error != nil:
			return hop3.MoveAnswer{}, errorOf(e.Error)
		case e.Answer != nil:
			return *e.Answer, nil
		case e.Log != nil:
			out.Log(hop3.LogLine{Text: "       | " + e.Log.Text, Level: e.Log.Level, Color: e.Log.Color, Time: time.Now()})
		}
	}
	err = lines.Err()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return hop3.MoveAnswer{}, s.unreachable(err)
}
