package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// image is what an inspection tells of an image.
type image struct {
	ID     string `json:"Id"`
	Config struct {
		WorkingDir   string
		ExposedPorts map[string]struct{}
	}
}

func (e *Engine) image(ctx context.Context, name string) (i image, err error) {
	return i, e.api.get(ctx, "/images/"+name+"/json", nil, &i)
}

// repository is the name of an app's images: in lower case, as Docker wants it.
func (e *Engine) repository(app string) string {
	return e.prefix + "/" + hop3.HostLabel(app)
}

func (e *Engine) tag(app string, build int) string {
	return fmt.Sprintf("%s:v%d", e.repository(app), build)
}

func (e *Engine) tagImage(ctx context.Context, name, repository, tag string) error {
	return e.api.post(ctx, "/images/"+name+"/tag", url.Values{"repo": {repository}, "tag": {tag}}, nil, nil)
}

// tags returns the tags of an app's images by the builds they are for.
func (e *Engine) tags(ctx context.Context, app string) (map[int]string, error) {
	all, err := e.tagsOf(ctx, e.repository(app))
	tags := map[int]string{}
	for _, tag := range all {
		own, ok := strings.CutPrefix(tag, e.repository(app)+":v")
		if n, err := strconv.Atoi(own); ok && err == nil {
			tags[n] = tag
		}
	}
	return tags, err
}

// tagsOf returns the server's tags in the repositories of a pattern.
func (e *Engine) tagsOf(ctx context.Context, pattern string) (tags []string, err error) {
	filters, err := json.Marshal(map[string][]string{"reference": {pattern}})
	if err != nil {
		return nil, err
	}
	var found []struct{ RepoTags []string }
	if err := e.api.get(ctx, "/images/json", url.Values{"filters": {string(filters)}}, &found); err != nil {
		return nil, fmt.Errorf("listing the images: %w", err)
	}
	for _, i := range found {
		for _, tag := range i.RepoTags {
			if strings.HasPrefix(tag, e.prefix+"/") { // an image can have others' too
				tags = append(tags, tag)
			}
		}
	}
	return tags, nil
}

// removeImage takes a tag away, and with the last one the image. One that a
// container runs stays, with its tag, for the next time.
func (e *Engine) removeImage(ctx context.Context, tag string) error {
	err := e.api.delete(ctx, "/images/"+tag, nil)
	if err == nil || refused(err, http.StatusNotFound) || refused(err, http.StatusConflict) {
		return nil
	}
	return fmt.Errorf("removing the image %s: %w", tag, err)
}

// removeVolumes forgets the volumes of apps. What is in them is in the apps'
// directories, which are not Docker's.
func (e *Engine) removeVolumes(ctx context.Context, ofApp func(app string) bool) error {
	filters, err := json.Marshal(map[string][]string{"label": {labelHome + "=" + e.prefix}})
	if err != nil {
		return err
	}
	var found struct {
		Volumes []struct {
			Name   string
			Labels map[string]string
		}
	}
	if err := e.api.get(ctx, "/volumes", url.Values{"filters": {string(filters)}}, &found); err != nil {
		return fmt.Errorf("listing the volumes: %w", err)
	}
	var errs []error
	for _, v := range found.Volumes {
		app := v.Labels[labelApp]
		if !ofApp(app) || !strings.HasPrefix(v.Name, e.volumePrefix(app)) {
			continue
		}
		err := e.api.delete(ctx, "/volumes/"+v.Name, nil)
		if err != nil && !refused(err, http.StatusNotFound) && !refused(err, http.StatusConflict) {
			errs = append(errs, fmt.Errorf("removing the volume %s: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}
