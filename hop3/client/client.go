// Package client talks to a Hop3 server: a command line goes in, items come
// out.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3/api"
)

// readTimeout is how long a server may take to answer a command.
const readTimeout = 300 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// maxVersion bounds what is read of GET /version.
const maxVersion = 64 << 10

// Config says which server, and who calls.
type Config struct {
	URL      string // http:// or https://, with a path before /rpc or without
	Token    string
	CAFile   string // certificates to trust instead of the system's
	Insecure bool   // trust any certificate
	Socket   string // a unix socket to connect to, whatever host URL names
	// Dial connects, whatever host URL names; nil for the usual way.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Client calls one server. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client. It connects to nothing yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a server", c.URL)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("unsupported scheme in API URL: %s", c.URL)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = tlsConfig(c); err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = readTimeout
	if c.Dial != nil {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dial(ctx) }
	}
	if c.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
		}
	}
	return &Client{
		base:  strings.TrimRight(c.URL, "/"),
		token: c.Token,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func tlsConfig(c Config) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	if c.CAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ssl_cert: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", c.CAFile)
	}
	return conf, nil
}

// Archive is a tar.gz to be sent.
type Archive struct {
	Content io.Reader
	Size    int64
	Data    bool // not a source, but the input of a command
}

// Result is what a command answered.
type Result struct {
	Items []api.Item
	Raw   []json.RawMessage // the items as they came
}

// Call runs a command line on the server. Errors of the server are *Errors,
// all others mean that it could not be asked.
func (c *Client) Call(ctx context.Context, args []string, extra api.Extra, archive *Archive) (Result, error) {
	body, size, err := encode(args, extra, archive)
	if err != nil {
		return Result{}, err
	}
	req, err := c.request(ctx, http.MethodPost, "/rpc", body)
	if err != nil {
		return Result{}, err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return Result{}, unreachable(c.base, err)
	}
	defer resp.Body.Close()
	return decode(resp)
}

// MaxUpload returns how many bytes an upload to the server may have, 0 when the
// server does not say.
func (c *Client) MaxUpload(ctx context.Context) (int64, error) {
	req, err := c.request(ctx, http.MethodGet, "/version", nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, unreachable(c.base, err)
	}
	defer resp.Body.Close()
	var said struct {
		MaxBody int64 `json:"max_body"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxVersion)).Decode(&said); err != nil {
		return 0, nil // another server, or something before it: the upload will tell
	}
	return api.UploadIn(said.MaxBody), nil
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "hop3-cli")
	return req, nil
}

// placeholder stands in the encoded request where the archive goes.
const placeholder = "@archive@"

// encode returns the request's body and its length. The archive is encoded
// while it is sent.
func encode(args []string, extra api.Extra, archive *Archive) (io.Reader, int64, error) {
	switch {
	case archive == nil:
	case archive.Data:
		extra.ImportData = placeholder
	default:
		extra.Repository = placeholder
	}
	text, err := json.Marshal(api.Request{
		Version: "2.0", Method: api.Method, ID: json.RawMessage("1"),
		Params: api.Params{Args: args, Extra: extra},
	})
	if err != nil {
		return nil, 0, err
	}
	if archive == nil {
		return strings.NewReader(string(text)), int64(len(text)), nil
	}
	// The last one: an argument could have the same words in it.
	i := strings.LastIndex(string(text), placeholder)
	before, after := string(text[:i]), string(text[i+len(placeholder):])
	size := int64(len(before)+len(after)) + (archive.Size+2)/3*4
	return io.MultiReader(strings.NewReader(before), &base64Reader{in: archive.Content}, strings.NewReader(after)), size, nil
}

// base64Reader reads the base64 of in.
type base64Reader struct {
	in    io.Reader
	plain [48 << 10]byte // a multiple of 3: only the last piece is padded
	coded []byte
	err   error
}

func (r *base64Reader) Read(p []byte) (int, error) {
	if len(r.coded) == 0 && r.err == nil {
		var n int
		n, r.err = io.ReadFull(r.in, r.plain[:])
		if errors.Is(r.err, io.ErrUnexpectedEOF) {
			r.err = io.EOF
		}
		r.coded = base64.StdEncoding.AppendEncode(r.coded[:0], r.plain[:n])
	}
	if len(r.coded) == 0 {
		return 0, r.err
	}
	n := copy(p, r.coded)
	r.coded = r.coded[n:]
	return n, nil
}

func decode(resp *http.Response) (Result, error) {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return Result{}, &Error{Code: resp.StatusCode, Message: "The server redirects to " + resp.Header.Get("Location") + ". Use 'hop3 login' with that address."}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Result{}, unreachable(resp.Request.URL.Host, err)
	}
	var answer api.Response
	if err := json.Unmarshal(body, &answer); err != nil || answer.Error == nil && answer.Result == nil {
		return Result{}, &Error{Code: resp.StatusCode, Message: fmt.Sprintf("HTTP %s error: %.500s", resp.Status, body)}
	}
	if answer.Error != nil {
		return Result{}, ServerError(answer.Error)
	}
	var res Result
	if err := json.Unmarshal(answer.Result, &res.Raw); err != nil {
		return Result{}, &Error{Message: "The server's answer has no items."}
	}
	for _, raw := range res.Raw {
		var item api.Item
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		if err := dec.Decode(&item); err != nil {
			return Result{}, &Error{Message: "The server's answer has an item that is none."}
		}
		res.Items = append(res.Items, item)
	}
	return res, nil
}
