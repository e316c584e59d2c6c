module github.com/wechatws/wechatws/internal/release

go 1.26.0

require (
	golang.org/x/exp v0.0.0-20261014143641-f0251eb4aa3e
	golang.org/x/tools v0.52.0
)

require go.yaml.in/yaml/v3 v3.0.6

require (
	github.com/stretchr/testify v1.12.1
	golang.org/x/mod v0.43.0
	golang.org/x/sync v0.25.0 // indirect
)
