package backup

import (
	"net/url"

	"github.com/abilian/hop3/hop3"
)

// ParseTarget returns the target of a URL: s3://bucket/prefix or
// sftp://user@host/path; nil for "". It reaches nothing.
func ParseTarget(text string, s3 S3Options, sftp SFTPOptions) (Target, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return nil, hop3.Errorf(hop3.CodeInvalid, "%.80q is no place for backups", text).WithHint("Write s3://bucket/prefix or sftp://user@host/path.")
	case u.Scheme == "s3":
		return newS3(u, s3)
	case u.Scheme == "sftp":
		return newSFTP(u, sftp)
	}
	return nil, hop3.Errorf(hop3.CodeInvalid, "backups cannot be stored by %.20q", u.Scheme).WithHint("Write s3://bucket/prefix or sftp://user@host/path.")
}
