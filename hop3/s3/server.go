// Package s3 talks to servers of S3: it opens them, says in a sentence why one
// refuses, and writes all that a bucket holds into an archive and back.
package s3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/abilian/hop3/hop3"
)

// DefaultRegion is the region where none is said.
const DefaultRegion = "us-east-1"

// Server is an S3 server and how to log in there.
type Server struct {
	Endpoint  string // "https://s3.example.com", without a path
	Region    string // "" for DefaultRegion
	AccessKey string
	SecretKey string
	// PathStyle has the bucket in the path and not in the host's name, which is
	// what servers of one's own want.
	PathStyle bool
}

// Transport is what requests to S3 servers go through. It leaves compressed
// objects as they are, and gives up on a server that accepts and says nothing.
var Transport http.RoundTripper = transport()

func transport() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t = t.Clone()
	t.DisableCompression = true
	t.MaxIdleConnsPerHost = 16
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	t.ResponseHeaderTimeout = 2 * time.Minute // some complete an upload of many parts for long
	return t
}

// ParseEndpoint reports a CodeInvalid error unless text is the URL of a server.
func ParseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "expected the URL of an S3 server without a path: https://s3.example.com")
	}
	u.Path = ""
	return u, nil
}

// Client opens the server. It asks nothing yet.
func (s Server) Client() (*minio.Client, error) {
	u, err := ParseEndpoint(s.Endpoint)
	if err != nil {
		return nil, err
	}
	o := &minio.Options{
		Creds:        credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Secure:       u.Scheme == "https",
		Transport:    Transport,
		Region:       s.region(),
		BucketLookup: minio.BucketLookupDNS,
		MaxRetries:   4,
	}
	if s.PathStyle {
		o.BucketLookup = minio.BucketLookupPath
	}
	return minio.New(u.Host, o)
}

func (s Server) region() string {
	if s.Region == "" {
		return DefaultRegion
	}
	return s.Region
}

// Explain returns err as a sentence for users: CodeUnavailable where the server
// does not answer or refuses the key. It is nil for nil.
func (s Server) Explain(err error) error {
	var known *hop3.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return hop3.Errorf(hop3.CodeCanceled, "what was asked of the S3 server %s was given up: %w", s.Endpoint, err)
	}
	switch Code(err) {
	case "":
		var network net.Error
		var address *url.Error
		if errors.As(err, &network) || errors.As(err, &address) {
			return hop3.Errorf(hop3.CodeUnavailable, "the S3 server %s does not answer: %w", s.Endpoint, err)
		}
		return hop3.Errorf(hop3.CodeUnavailable, "the S3 server %s: %w", s.Endpoint, err)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "XMinioAdminInvalidAccessKey", "InvalidClientTokenId":
		return hop3.Errorf(hop3.CodeUnavailable, "the S3 server %s refuses the key: %w", s.Endpoint, err)
	case "NoSuchBucket":
		return hop3.Errorf(hop3.CodeUnavailable, "the bucket is not there any more: %w", err)
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the S3 server %s does not do it: %w", s.Endpoint, err)
}

// Code is the code of an error that a server has answered, "" for others.
func Code(err error) string {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return ""
	}
	if answer.Code == "" && answer.StatusCode == http.StatusNotFound {
		return "NotFound"
	}
	return answer.Code
}
