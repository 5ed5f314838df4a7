package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Export writes all that an addon holds to w, as it comes. Errors of the server
// are *Errors; a server that knows no exports of any size answers with one of
// the code 404. When any other is returned, w may have got a part.
func (c *Client) Export(ctx context.Context, kind, name string, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, addonPath(kind, name, "export"), nil)
	if err != nil {
		return err
	}
	resp, err := c.open(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	silence := time.AfterFunc(readTimeout, cancel)
	defer silence.Stop()
	buffer := make([]byte, 128<<10)
	for {
		n, err := resp.Body.Read(buffer)
		silence.Reset(readTimeout)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return fmt.Errorf("writing the export: %w", err)
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return &Error{Message: fmt.Sprintf("The export broke off and is not whole: %v.\n"+
				"`hop3 addon %s dump %s` writes it to a file on the server, and says what is wrong.", err, kind, name)}
		}
	}
}

// Import replaces all that an addon holds by what from has. Errors of the server
// are *Errors; one that knows no imports of any size answers with one of the
// code 404 or 405.
func (c *Client) Import(ctx context.Context, kind, name string, from *Archive) error {
	req, err := c.request(ctx, http.MethodPut, addonPath(kind, name, "import"), io.NopCloser(from.Content))
	if err != nil {
		return err
	}
	req.ContentLength = from.Size
	req.Header.Set("Expect", "100-continue") // what is refused is not sent
	// What takes longest, its indexes, is made after all of it was sent.
	transport := c.http.Transport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 0
	defer transport.CloseIdleConnections()
	patient := *c.http
	patient.Transport = transport
	resp, err := patient.Do(req)
	if err != nil {
		return unreachable(c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return streamError(resp)
	}
	return nil
}

func addonPath(kind, name, what string) string {
	return "/api/addons/" + url.PathEscape(kind) + "/" + url.PathEscape(name) + "/" + what
}
