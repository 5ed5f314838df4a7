package addons

import (
	"context"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/s3"
)

// s3Options are those of an addon that is a bucket which is there already, with
// a key that its provider has made. The secret is what the user gives as the
// password.
var s3Options = []string{s3Endpoint, s3Region, s3Bucket, s3AccessKey, s3PathStyle}

// planGiven takes a bucket as it is given. It is never removed.
func planGiven(a hop3.Addon) (hop3.AddonDetails, error) {
	d := hop3.AddonDetails{s3Backend: kindGiven, s3Region: s3.DefaultRegion, s3SecretKey: a.Details["password"]}
	for option, values := range a.Options {
		if !slices.Contains(s3Options, option) {
			return nil, hop3.Errorf(hop3.CodeInvalid, "an addon of the type s3 has no option %q", option).
				WithHint("For a bucket that is there already it has %s.", strings.Join(s3Options, ", "))
		}
		if len(values) != 1 || values[0] == "" || strings.ContainsFunc(values[0], isControl) {
			return nil, hop3.Errorf(hop3.CodeInvalid, "the option %s takes one value, of one line", option)
		}
		d[option] = values[0]
	}
	for _, option := range []string{s3Endpoint, s3Bucket, s3AccessKey} {
		if d[option] == "" {
			return nil, hop3.Errorf(hop3.CodeInvalid, "the option %s is missing, for a bucket that is there already", option)
		}
	}
	if d[s3SecretKey] == "" || strings.ContainsFunc(d[s3SecretKey], isControl) {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the secret of the key %s is missing", d[s3AccessKey]).WithHint("It is read from the input with --password-stdin.")
	}
	u, err := s3.ParseEndpoint(d[s3Endpoint])
	if err != nil {
		return nil, err
	}
	d[s3Endpoint] = u.String()
	switch d[s3PathStyle] {
	case "true", "false":
	case "":
		d[s3PathStyle] = "true"
		if strings.HasSuffix(u.Hostname(), ".amazonaws.com") {
			d[s3PathStyle] = "false"
		}
	default:
		return nil, hop3.Errorf(hop3.CodeInvalid, "path_style is true or false, not %.20q", d[s3PathStyle])
	}
	return d, nil
}

// usable tries the key.
func (l *s3Place) usable(ctx context.Context, bucket string) error {
	for _, err := range s3.Objects(ctx, l.client, bucket, "") {
		return l.explain(err)
	}
	return ctx.Err()
}
