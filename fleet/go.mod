module github.com/wechatws/wechatws/fleet

go 1.26.0

require github.com/wechatws/wechatws v0.0.0

replace github.com/wechatws/wechatws => ../
